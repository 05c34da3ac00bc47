//! GET over HTTP/1.1, enough for health and metrics.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Error, Result};

/// Status and body of `GET path` on a local port.
///
/// # Errors
/// There is no answer, or none that is HTTP.
pub async fn get(port: u16, path: &str) -> Result<(u16, String)> {
    let what = format!("GET {path} on port {port}");
    let stream = TcpStream::connect(("127.0.0.1", port)).await;
    let mut stream = stream.map_err(Error::io(&*what))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(Error::io(&*what))?;
    let mut reply = Vec::new();
    stream
        .read_to_end(&mut reply)
        .await
        .map_err(Error::io(&*what))?;
    let reply = String::from_utf8_lossy(&reply);
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    let status = head
        .split_whitespace()
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| Error::malformed(&*what, "not HTTP"))?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    Ok((
        status,
        if chunked {
            unchunk(body)
        } else {
            body.to_owned()
        },
    ))
}

/// The value of a metric without labels, or the sum over its labels.
///
/// # Errors
/// The metrics cannot be fetched, or the metric is not among them.
pub async fn metric(port: u16, name: &str) -> Result<f64> {
    let (_, body) = get(port, "/metrics").await?;
    let lines = body.lines().filter_map(|line| line.strip_prefix(name));
    let values = lines.filter(|rest| rest.starts_with([' ', '{']));
    let values: Vec<f64> = values
        .filter_map(|rest| rest.rsplit(' ').next()?.parse().ok())
        .collect();
    if values.is_empty() {
        return Err(Error::malformed(name, "no such metric"));
    }
    Ok(values.iter().sum())
}

/// The value of one sample, named with its labels as in the text.
///
/// # Errors
/// The metrics cannot be fetched, or the sample is not among them.
pub async fn sample(port: u16, name: &str) -> Result<f64> {
    let (_, body) = get(port, "/metrics").await?;
    let value = body.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(' ')?;
        value.parse().ok()
    });
    value.ok_or_else(|| Error::malformed(name, "no such sample"))
}

/// Joins the chunks of a chunked body.
fn unchunk(mut body: &str) -> String {
    let mut joined = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        joined.push_str(rest.get(..size).unwrap_or(rest));
        body = rest.get(size + 2..).unwrap_or("");
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined() {
        assert_eq!(unchunk("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "abcde");
    }
}
