//! Listen and advertise URLs, by etcd's rules.
//!
//! A URL keeps its text as given, because member ids are a hash over that
//! text; only scheme, host and port are looked into. Texts of errors are those
//! etcd prints. Source: observed etcd 3.7.3.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// How a listener or member is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// TCP in plain text.
    Http,
    /// TCP with TLS.
    Https,
    /// A unix socket in plain text.
    Unix,
    /// A unix socket with TLS.
    Unixs,
}

/// One URL of a member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    text: String,
    scheme: Scheme,
    /// `host:port`, or for unix schemes the socket's file name.
    address: String,
}

/// Why a URL is refused; the text is etcd's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(String);

impl Url {
    /// Parses one URL.
    ///
    /// # Errors
    /// Anything but `http(s)://host:port` or `unix(s)://name`.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let (scheme_text, rest) = split_scheme(text)?;
        let scheme = match scheme_text.as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "unix" => Scheme::Unix,
            "unixs" => Scheme::Unixs,
            _ => return Err(scheme_error(text)),
        };
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(UrlError(format!(
                "URL address does not have the form \"host:port\": {text}"
            )));
        };
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at_checked(at).unwrap_or((rest, "")),
            None => (rest, ""),
        };
        check_authority(text, authority)?;
        let address = if matches!(scheme, Scheme::Unix | Scheme::Unixs) {
            format!("{authority}{path}")
        } else {
            if split_host_port(authority).is_none() {
                return Err(UrlError(format!(
                    "URL address does not have the form \"host:port\": {text}"
                )));
            }
            if path.starts_with('/') {
                return Err(UrlError(format!("URL must not contain a path: {text}")));
            }
            authority.to_owned()
        };
        let text = format!("{scheme_text}://{rest}");
        Ok(Self {
            text,
            scheme,
            address,
        })
    }

    /// Parses a comma-separated list; the result is sorted and without repeats.
    ///
    /// # Errors
    /// The first URL that is refused.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, UrlError> {
        let mut urls = text
            .split(',')
            .filter(|part| !part.trim().is_empty())
            .map(Self::parse)
            .collect::<Result<Vec<_>, _>>()?;
        urls.sort_by(|a, b| a.text.cmp(&b.text));
        urls.dedup();
        Ok(urls)
    }

    /// The URL as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URL's scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether the URL asks for TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.scheme, Scheme::Https | Scheme::Unixs)
    }

    /// `host:port`, or the socket file's name for unix schemes.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The host without brackets; empty for unix schemes.
    pub fn host(&self) -> &str {
        self.host_port().map_or("", |(host, _)| host)
    }

    /// The port; 0 for unix schemes.
    pub fn port(&self) -> u16 {
        self.host_port()
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or(0)
    }

    /// The socket's path for unix schemes.
    pub fn socket_path(&self) -> Option<PathBuf> {
        matches!(self.scheme, Scheme::Unix | Scheme::Unixs).then(|| PathBuf::from(&self.address))
    }

    /// Checks that the host can be bound without a name service.
    ///
    /// # Errors
    /// A host that is neither an address nor `localhost`.
    pub fn check_bindable(&self) -> Result<(), UrlError> {
        if self.socket_path().is_some() || self.host() == "localhost" {
            return Ok(());
        }
        match self.host().parse::<IpAddr>() {
            Ok(_) => Ok(()),
            Err(_) => Err(UrlError(format!("expected IP in URL for binding ({self})"))),
        }
    }

    /// The address to bind, `localhost` resolved to IPv4 where there is one.
    ///
    /// # Errors
    /// The resolver's, or no address at all.
    pub fn socket_address(&self) -> std::io::Result<SocketAddr> {
        let addresses: Vec<SocketAddr> = (self.host(), self.port()).to_socket_addrs()?.collect();
        let first = addresses
            .iter()
            .find(|address| address.is_ipv4())
            .or(addresses.first());
        first.copied().ok_or_else(|| {
            std::io::Error::new(
                std::io::ErrorKind::AddrNotAvailable,
                format!("no address for {}", self.address),
            )
        })
    }

    fn host_port(&self) -> Option<(&str, &str)> {
        match self.scheme {
            Scheme::Http | Scheme::Https => split_host_port(&self.address),
            Scheme::Unix | Scheme::Unixs => None,
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn scheme_error(text: &str) -> UrlError {
    UrlError(format!(
        "URL scheme must be http, https, unix, or unixs: {text}"
    ))
}

fn split_scheme(text: &str) -> Result<(String, &str), UrlError> {
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err(scheme_error(text));
    };
    if scheme.is_empty() {
        return Err(UrlError(format!(
            "parse \"{text}\": missing protocol scheme"
        )));
    }
    let first_is_letter = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    if !first_is_letter {
        return Err(UrlError(format!(
            "parse \"{text}\": first path segment in URL cannot contain colon"
        )));
    }
    Ok((scheme.to_ascii_lowercase(), rest))
}

fn check_authority(text: &str, authority: &str) -> Result<(), UrlError> {
    if let Some(bad) = authority
        .chars()
        .find(|c| c.is_whitespace() || matches!(c, '<' | '>' | '"'))
    {
        return Err(UrlError(format!(
            "parse \"{text}\": invalid character \"{bad}\" in host name"
        )));
    }
    let after_brackets = authority.rsplit(']').next().unwrap_or(authority);
    if let Some((_, port)) = after_brackets.rsplit_once(':')
        && !port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(UrlError(format!(
            "parse \"{text}\": invalid port \":{port}\" after host"
        )));
    }
    Ok(())
}

/// Splits `host:port` and `[v6]:port`; `None` without a port.
fn split_host_port(authority: &str) -> Option<(&str, &str)> {
    let (host, port) = authority.rsplit_once(':')?;
    if let Some(bracketed) = host.strip_prefix('[') {
        return Some((bracketed.strip_suffix(']')?, port));
    }
    if host.contains(':') {
        None
    } else {
        Some((host, port))
    }
}

#[cfg(test)]
mod tests {
    use super::{Scheme, Url};

    #[test]
    fn refusals_have_etcds_texts() {
        for (text, expected) in [
            ("foo", "URL scheme must be http, https, unix, or unixs: foo"),
            (
                "localhost:2379",
                "URL scheme must be http, https, unix, or unixs: localhost:2379",
            ),
            (
                "ftp://localhost:1",
                "URL scheme must be http, https, unix, or unixs: ftp://localhost:1",
            ),
            (
                "http://localhost",
                "URL address does not have the form \"host:port\": http://localhost",
            ),
            (
                "http://localhost:1/a",
                "URL must not contain a path: http://localhost:1/a",
            ),
            (
                "http://localhost:1/",
                "URL must not contain a path: http://localhost:1/",
            ),
            (
                "http://localhost:abc",
                "parse \"http://localhost:abc\": invalid port \":abc\" after host",
            ),
            (
                "http://a b:1",
                "parse \"http://a b:1\": invalid character \" \" in host name",
            ),
            (":::", "parse \":::\": missing protocol scheme"),
        ] {
            assert_eq!(Url::parse(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_listen_host_must_be_an_address_or_localhost() {
        for (text, bindable) in [
            ("http://localhost:1", true),
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("unix://localhost:1", true),
            ("http://example.com:1234", false),
            ("http://:2379", false),
        ] {
            assert_eq!(
                Url::parse(text).unwrap().check_bindable().is_ok(),
                bindable,
                "{text}"
            );
        }
        let error = Url::parse("http://:2379")
            .unwrap()
            .check_bindable()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected IP in URL for binding (http://:2379)"
        );
    }

    #[test]
    fn a_list_is_sorted_without_repeats() {
        let urls = Url::parse_list("http://b:1, http://a:1,http://b:1").unwrap();
        let texts: Vec<&str> = urls.iter().map(Url::as_str).collect();
        assert_eq!(texts, ["http://a:1", "http://b:1"]);
    }

    #[test]
    fn a_unix_url_names_a_file() {
        let relative = Url::parse("unix://localhost:20000").unwrap();
        assert_eq!(relative.scheme(), Scheme::Unix);
        assert_eq!(
            relative.socket_path().unwrap().to_str(),
            Some("localhost:20000")
        );
        let absolute = Url::parse("unix:///tmp/a.sock").unwrap();
        assert_eq!(
            absolute.socket_path().unwrap().to_str(),
            Some("/tmp/a.sock")
        );
    }
}
