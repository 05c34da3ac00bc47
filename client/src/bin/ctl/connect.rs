//! From global flags to a client and a printer.

use std::time::Duration;

use quoin_client::{Client, Config, Credentials};
use quoin_discovery::{LookupError, Resolver, Service, service_name};

use crate::failure::{Failure, STATUS_ERROR, STATUS_FEATURE};
use crate::flags::Flags;
use crate::output::{Format, Printer};

/// How long calls of a command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// `--command-timeout`.
    Short,
    /// As long as it takes.
    Endless,
}

/// A client for the endpoints of the command line.
pub(crate) fn client(flags: Flags<'_>, patience: Patience) -> Result<Client, Failure> {
    Ok(Client::new(config(flags, patience)?)?)
}

/// The configuration that the global flags describe.
pub(crate) fn config(flags: Flags<'_>, patience: Patience) -> Result<Config, Failure> {
    if flags.global_switch("debug")? {
        print_debug(flags)?;
    }
    refuse_tls(flags)?;
    let mut config = Config::new(endpoints(flags)?);
    config.dial_timeout = flags.global_duration("dial-timeout")?;
    config.keepalive_interval = flags.global_duration("keepalive-time")?.max(KEEPALIVE_MIN);
    config.keepalive_timeout = flags.global_duration("keepalive-timeout")?;
    config.request_timeout = match patience {
        Patience::Short => Some(flags.global_duration("command-timeout")?),
        Patience::Endless => None,
    };
    let bytes = |name: &str, default: usize| -> Result<usize, Failure> {
        let given = usize::try_from(flags.global_integer(name)?).unwrap_or(0);
        Ok(if given == 0 { default } else { given })
    };
    config.send_bytes_max = bytes("max-request-bytes", 2 * 1024 * 1024)?;
    config.receive_bytes_max = bytes("max-recv-bytes", i32::MAX as usize)?;
    let token = flags.global("auth-jwt-token")?;
    config.token = (!token.is_empty()).then_some(token);
    config.credentials = credentials(flags)?;
    Ok(config)
}

/// The endpoints that DNS lists with `--discovery-srv`, else `--endpoints`, split.
pub(crate) fn endpoints(flags: Flags<'_>) -> Result<Vec<String>, Failure> {
    let found = discovered(flags)?;
    if !found.is_empty() {
        return Ok(found);
    }
    let endpoints = flags.global("endpoints")?;
    Ok(endpoints
        .split(',')
        .map(|endpoint| endpoint.trim().to_owned())
        .collect())
}

/// Endpoints below `--discovery-srv`; none without it. Asks name servers, which
/// may take seconds. Order and text are etcdctl's.
fn discovered(flags: Flags<'_>) -> Result<Vec<String>, Failure> {
    let domain = flags.global("discovery-srv")?;
    if domain.is_empty() {
        return Ok(Vec::new());
    }
    let suffix = flags.global("discovery-srv-name")?;
    let resolver = Resolver::system();
    let ask = |scheme: &str, service: &str| {
        let found = resolver.services(&service_name(service, &suffix, &domain))?;
        let url = |service: &Service| format!("{scheme}://{}:{}", service.target, service.port);
        Ok::<Vec<String>, LookupError>(found.iter().map(url).collect())
    };
    let secure = ask("https", "etcd-client-ssl");
    let plain = ask("http", "etcd-client");
    if let (Err(one), Err(other)) = (&secure, &plain) {
        let text = format!("dns lookup errors: {one} and {other}");
        return Err(Failure::new(STATUS_ERROR, text));
    }
    let mut endpoints = secure.unwrap_or_default();
    if flags.global_switch("insecure-discovery")? {
        endpoints.extend(plain.unwrap_or_default());
    }
    Ok(endpoints)
}

/// A printer for `--write-out`.
pub(crate) fn printer(flags: Flags<'_>) -> Result<Printer, Failure> {
    let format = match flags.global("write-out")?.as_str() {
        "simple" => Format::Simple,
        "json" => Format::Json,
        "fields" => Format::Fields,
        "protobuf" => Format::Protobuf,
        "table" => Format::Table,
        _ => return Err(Failure::new(STATUS_FEATURE, "unsupported output format")),
    };
    Ok(Printer {
        format,
        hex: flags.global_switch("hex")?,
        value_only: false,
    })
}

fn credentials(flags: Flags<'_>) -> Result<Option<Credentials>, Failure> {
    let user = flags.global("user")?;
    let password = flags.global("password")?;
    if user.is_empty() {
        return Ok(None);
    }
    let (name, password) = match user.split_once(':') {
        _ if !password.is_empty() => (user, password),
        Some((name, password)) => (name.to_owned(), password.to_owned()),
        None => {
            let text = "asking for a password is not available yet: use --user name:password";
            return Err(Failure::new(STATUS_ERROR, text));
        }
    };
    Ok(Some(Credentials { name, password }))
}

fn refuse_tls(flags: Flags<'_>) -> Result<(), Failure> {
    for name in ["cert", "key", "cacert"] {
        if flags.is_given(name) && flags.text(name).is_empty() {
            let text = format!("empty string is passed to --{name} option");
            return Err(Failure::arguments(text));
        }
        if !flags.global(name)?.is_empty() {
            return Err(Failure::unavailable(&format!("TLS (--{name})")));
        }
    }
    Ok(())
}

fn print_debug(flags: Flags<'_>) -> Result<(), Failure> {
    for name in [
        "endpoints",
        "write-out",
        "dial-timeout",
        "command-timeout",
        "keepalive-time",
    ] {
        let variable = name.to_uppercase().replace('-', "_");
        crate::complain(&format!("ETCDCTL_{variable}={}", flags.global(name)?));
    }
    Ok(())
}

/// The transport does not ping without pause.
const KEEPALIVE_MIN: Duration = Duration::from_millis(10);
