//! Flags of TLS, HTTP origins and authentication.

use super::Kind::{Bool, Origins, Text, Unsigned};
use super::{Flag, absent, honoured, ineffective};

pub(super) const SECURITY: &[Flag] = &[
    absent(
        "cert-file",
        Text,
        "",
        "Certificate of the client listeners.",
    ),
    absent("key-file", Text, "", "Its key."),
    absent(
        "client-cert-file",
        Text,
        "",
        "Certificate toward other servers' client side.",
    ),
    absent("client-key-file", Text, "", "Its key."),
    absent(
        "client-cert-auth",
        Bool,
        "false",
        "Demand certificates from clients.",
    ),
    absent("client-crl-file", Text, "", "Revoked client certificates."),
    absent(
        "client-cert-allowed-hostname",
        Text,
        "",
        "Names accepted in client certificates.",
    ),
    absent(
        "trusted-ca-file",
        Text,
        "",
        "Authority of client certificates.",
    ),
    absent(
        "auto-tls",
        Bool,
        "false",
        "Make client certificates at start.",
    ),
    absent(
        "peer-cert-file",
        Text,
        "",
        "Certificate of the peer listeners.",
    ),
    absent("peer-key-file", Text, "", "Its key."),
    absent(
        "peer-client-cert-file",
        Text,
        "",
        "Certificate toward peers.",
    ),
    absent("peer-client-key-file", Text, "", "Its key."),
    absent(
        "peer-client-cert-auth",
        Bool,
        "false",
        "Demand certificates from peers.",
    ),
    absent(
        "peer-trusted-ca-file",
        Text,
        "",
        "Authority of peer certificates.",
    ),
    absent(
        "peer-cert-allowed-cn",
        Text,
        "",
        "Common names accepted from peers.",
    ),
    absent(
        "peer-cert-allowed-hostname",
        Text,
        "",
        "Names accepted in peer certificates.",
    ),
    absent(
        "peer-auto-tls",
        Bool,
        "false",
        "Make peer certificates at start.",
    ),
    absent("peer-crl-file", Text, "", "Revoked peer certificates."),
    ineffective(
        "peer-skip-client-san-verification",
        Bool,
        "false",
        "Only with peer TLS.",
    ),
    ineffective(
        "self-signed-cert-validity",
        Unsigned,
        "1",
        "Only with auto-tls.",
    ),
    ineffective("cipher-suites", Text, "", "Only with TLS."),
    ineffective("tls-min-version", Text, "TLS1.2", "Only with TLS."),
    ineffective("tls-max-version", Text, "", "Only with TLS."),
    honoured(
        "cors",
        Origins,
        "*",
        "Origins answered with CORS headers; empty or * for all.",
    ),
    honoured(
        "host-whitelist",
        Text,
        "*",
        "Hosts accepted from HTTP clients; empty or * for all.",
    ),
];

pub(super) const AUTH: &[Flag] = &[
    honoured(
        "auth-token",
        Text,
        "simple",
        "Kind of auth token; only 'simple' exists here.",
    ),
    honoured(
        "bcrypt-cost",
        Unsigned,
        "10",
        "Cost of hashing a password, 4 to 31.",
    ),
    honoured(
        "auth-token-ttl",
        Unsigned,
        "300",
        "Seconds a token lives without use.",
    ),
];
