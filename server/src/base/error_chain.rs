//! An error with its causes, as one text.
//!
//! Errors here keep their causes behind `source` and do not repeat them in
//! their own words; where one is told to a person, the whole chain is.

/// The texts of `error` and its causes, outermost first.
#[must_use]
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let mut text = error.to_string();
    for cause in causes.map(ToString::to_string) {
        // Some errors repeat their cause in their own words.
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
