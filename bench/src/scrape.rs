//! Reads counters from a member's `/metrics`.
//!
//! HTTP/1.0, so that the answer is not chunked and ends with the connection.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Error, Result};

/// The metrics page of the member at `address`.
///
/// # Errors
/// It cannot be reached.
pub async fn metrics(address: SocketAddr) -> Result<String> {
    let what = format!("http://{address}/metrics");
    let stream = TcpStream::connect(address).await;
    let mut stream = stream.map_err(Error::io(what.clone()))?;
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
    let sent = stream.write_all(request.as_bytes()).await;
    sent.map_err(Error::io(what.clone()))?;
    let mut page = Vec::new();
    let read = stream.read_to_end(&mut page).await;
    read.map_err(Error::io(what))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// The value of the metric `name`, summed over its labels.
#[must_use]
pub fn value(page: &str, name: &str) -> Option<f64> {
    let values = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let labelled = rest.starts_with('{') || rest.starts_with(' ');
        labelled.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    values.reduce(|one, two| one + two)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_summed_over_labels_and_names_are_whole() {
        let page = "# HELP a b\na{x=\"1\"} 2\na{x=\"2\"} 3\na_total 9\nb 1e3\n";
        assert_eq!(value(page, "a"), Some(5.0));
        assert_eq!(value(page, "a_total"), Some(9.0));
        assert_eq!(value(page, "b"), Some(1000.0));
        assert_eq!(value(page, "c"), None);
    }
}
