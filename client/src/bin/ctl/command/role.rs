//! role

use bytes::Bytes;

use quoin_client::proto::authpb::Permission;
use quoin_client::proto::authpb::permission::Type;
use quoin_client::proto::etcdserverpb as pb;

use crate::connect::{self, Patience};
use crate::failure::Failure;
use crate::flags::Flags;
use crate::output::Reply;

pub(super) async fn run(verb: &str, flags: Flags<'_>) -> Result<(), Failure> {
    let texts = flags.texts();
    check_arguments(verb, texts.len())?;
    let name = texts.first().cloned().unwrap_or_default();
    let change = match verb {
        "grant-permission" => Some(range(flags, &texts[2..])?),
        "revoke-permission" => Some(range(flags, &texts[1..])?),
        _ => None,
    };
    let permission_type = match verb {
        "grant-permission" => permission_type(&texts[1])?,
        _ => Type::Read,
    };
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Endless)?;
    let (text, header) = match (verb, change) {
        ("add", _) => {
            let text = format!("Role {name} created");
            (
                text,
                client
                    .role_add(pb::AuthRoleAddRequest { name })
                    .await?
                    .header,
            )
        }
        ("delete", _) => {
            let text = format!("Role {name} deleted");
            (
                text,
                client
                    .role_delete(pb::AuthRoleDeleteRequest { role: name })
                    .await?
                    .header,
            )
        }
        ("list", _) => {
            let reply = client.role_list(pb::AuthRoleListRequest {}).await?;
            return printer.print(&Reply::RoleList(reply));
        }
        ("grant-permission", Some((key, range_end))) => {
            let text = format!("Role {name} updated");
            let perm = Some(Permission {
                perm_type: permission_type.into(),
                key,
                range_end,
            });
            let request = pb::AuthRoleGrantPermissionRequest { name, perm };
            (text, client.role_grant_permission(request).await?.header)
        }
        (_, Some((key, range_end))) => {
            let text = revoked(&name, &key, &range_end);
            let request = pb::AuthRoleRevokePermissionRequest {
                role: name,
                key,
                range_end,
            };
            (text, client.role_revoke_permission(request).await?.header)
        }
        _ => {
            let reply = client
                .role_get(pb::AuthRoleGetRequest { role: name.clone() })
                .await?;
            return printer.print(&Reply::RoleGet(name, reply));
        }
    };
    printer.print(&Reply::Done { text, header })
}

fn check_arguments(verb: &str, count: usize) -> Result<(), Failure> {
    let (fits, text) = match verb {
        "list" => (
            count == 0,
            "role list command requires no arguments".to_owned(),
        ),
        "grant-permission" => (
            count >= 3,
            "role grant command requires role name, permission type, and key [endkey] as its \
             argument"
                .to_owned(),
        ),
        "revoke-permission" => (
            count >= 2,
            "role revoke-permission command requires role name and key [endkey] as its argument"
                .to_owned(),
        ),
        _ => (
            count == 1,
            format!("role {verb} command requires role name as its argument"),
        ),
    };
    match fits {
        true => Ok(()),
        false => Err(Failure::arguments(text)),
    }
}

fn permission_type(text: &str) -> Result<Type, Failure> {
    match text.to_uppercase().as_str() {
        "READ" => Ok(Type::Read),
        "WRITE" => Ok(Type::Write),
        "READWRITE" => Ok(Type::Readwrite),
        _ => Err(Failure::arguments(format!(
            "invalid permission type: {text}"
        ))),
    }
}

/// The range that a key, an end and the flags describe.
fn range(flags: Flags<'_>, texts: &[String]) -> Result<(Bytes, Bytes), Failure> {
    let (prefix, from_key) = (flags.switch("prefix")?, flags.switch("from-key")?);
    if prefix && from_key {
        return Err(Failure::arguments(
            "--from-key and --prefix flags are mutually exclusive",
        ));
    }
    if texts.len() > 1 && (prefix || from_key) {
        let name = if prefix { "prefix" } else { "from-key" };
        let text = format!("unexpected endkey argument with --{name} flag");
        return Err(Failure::arguments(text));
    }
    let bytes = |index: usize| texts.get(index).map(|text| text.clone().into_bytes());
    Ok(super::range(
        bytes(0).unwrap_or_default(),
        bytes(1),
        prefix,
        from_key,
    ))
}

fn revoked(role: &str, key: &[u8], end: &[u8]) -> String {
    let key = String::from_utf8_lossy(key);
    match end {
        b"" => format!("Permission of key {key} is revoked from role {role}"),
        b"\0" => format!("Permission of range [{key}, <open ended> is revoked from role {role}"),
        _ => {
            let end = String::from_utf8_lossy(end);
            format!("Permission of range [{key}, {end}) is revoked from role {role}")
        }
    }
}
