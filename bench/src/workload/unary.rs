//! Requests with one reply each.

use bytes::Bytes;

use crate::{
    connection::{Call, Failure, Frames},
    load::Client,
    random::Random,
};

/// A sequence of requests, one per client.
pub trait Requests {
    /// Prepares for a client.
    fn start(&mut self, _client: &Client) {}

    /// The method of the request made last, or of all.
    fn call(&self) -> Call;

    /// The next framed message; `None` ends the client.
    fn next(&mut self, frames: &mut Frames, random: &mut Random) -> Option<Bytes>;

    /// Takes the reply to the last request.
    fn reply(&mut self, _message: Bytes) {}
}

/// Sends requests until the run ends.
///
/// # Errors
/// The connection is lost; refusals are counted and the run goes on.
pub async fn drive(mut client: Client, mut requests: impl Requests) -> Result<(), Failure> {
    requests.start(&client);
    client.begin().await;
    while let Some(start) = client.arrivals.next().await {
        let frame = {
            let mut frames = client.frames.borrow_mut();
            requests.next(&mut frames, &mut client.random)
        };
        let Some(frame) = frame else { break };
        match client.connection.unary(requests.call(), frame).await {
            Ok(reply) => {
                client.complete(start);
                requests.reply(reply);
            }
            Err(failure) => client.refused(failure).await?,
        }
    }
    Ok(())
}
