//! user

use quoin_client::proto::authpb::UserAddOptions;
use quoin_client::proto::etcdserverpb as pb;

use crate::connect::{self, Patience};
use crate::failure::{Failure, STATUS_FEATURE};
use crate::flags::Flags;
use crate::output::{Format, Reply};

pub(super) async fn run(verb: &str, flags: Flags<'_>) -> Result<(), Failure> {
    let mut texts = flags.texts();
    check_arguments(verb, texts.len())?;
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Endless)?;
    let mut next = || {
        if texts.is_empty() {
            String::new()
        } else {
            texts.remove(0)
        }
    };
    let (text, header) = match verb {
        "add" => {
            let request = new_user(flags, &next())?;
            let text = format!("User {} created", request.name);
            (text, client.user_add(request).await?.header)
        }
        "delete" => {
            let name = next();
            let text = format!("User {name} deleted");
            (
                text,
                client
                    .user_delete(pb::AuthUserDeleteRequest { name })
                    .await?
                    .header,
            )
        }
        "passwd" => {
            let name = next();
            let password = read_password(flags)?;
            let request = pb::AuthUserChangePasswordRequest {
                name,
                password,
                hashed_password: String::new(),
            };
            let reply = client.user_change_password(request).await?;
            ("Password updated".to_owned(), reply.header)
        }
        "grant-role" => {
            let (user, role) = (next(), next());
            let text = format!("Role {role} is granted to user {user}");
            let request = pb::AuthUserGrantRoleRequest { user, role };
            (text, client.user_grant_role(request).await?.header)
        }
        "revoke-role" => {
            let (name, role) = (next(), next());
            let text = format!("Role {role} is revoked from user {name}");
            let request = pb::AuthUserRevokeRoleRequest { name, role };
            (text, client.user_revoke_role(request).await?.header)
        }
        "list" => {
            let reply = client.user_list(pb::AuthUserListRequest {}).await?;
            return printer.print(&Reply::UserList(reply));
        }
        _ => return show(flags, &client, next()).await,
    };
    printer.print(&Reply::Done { text, header })
}

/// get, with `--detail` also the permissions of each role.
async fn show(
    flags: Flags<'_>,
    client: &quoin_client::Client,
    name: String,
) -> Result<(), Failure> {
    let printer = connect::printer(flags)?;
    let reply = client
        .user_get(pb::AuthUserGetRequest { name: name.clone() })
        .await?;
    if !flags.switch("detail")? {
        return printer.print(&Reply::UserGet(name, reply));
    }
    if printer.format == Format::Table {
        return Err(Failure::new(
            STATUS_FEATURE,
            "table not supported as output format",
        ));
    }
    crate::output::write(format!("User: {name}\n").as_bytes())?;
    for role in reply.roles {
        let reply = client
            .role_get(pb::AuthRoleGetRequest { role: role.clone() })
            .await?;
        crate::output::write(b"\n")?;
        printer.print(&Reply::RoleGet(role, reply))?;
    }
    Ok(())
}

fn check_arguments(verb: &str, count: usize) -> Result<(), Failure> {
    let (wanted, text) = match verb {
        "list" => (0, "user list command requires no arguments"),
        "grant-role" => (
            2,
            "user grant command requires user name and role name as its argument",
        ),
        "revoke-role" => (
            2,
            "user revoke-role requires user name and role name as its argument",
        ),
        "add" => (1, "user add command requires user name as its argument"),
        "delete" => (1, "user delete command requires user name as its argument"),
        "get" => (1, "user get command requires user name as its argument"),
        _ => (1, "user passwd command requires user name as its argument"),
    };
    match count == wanted {
        true => Ok(()),
        false => Err(Failure::arguments(text)),
    }
}

fn new_user(flags: Flags<'_>, argument: &str) -> Result<pb::AuthUserAddRequest, Failure> {
    let no_password = flags.switch("no-password")?;
    let given = flags.text("new-user-password");
    let (name, password) = match argument.split_once(':') {
        _ if no_password => (argument, String::new()),
        _ if !given.is_empty() => (argument, given.to_owned()),
        Some((name, password)) => (name, password.to_owned()),
        None => (argument, read_password(flags)?),
    };
    if name.is_empty() {
        return Err(Failure::arguments("empty user name is not allowed"));
    }
    Ok(pb::AuthUserAddRequest {
        name: name.to_owned(),
        password,
        options: Some(UserAddOptions { no_password }),
        hashed_password: String::new(),
    })
}

/// The first word of standard input.
fn read_password(flags: Flags<'_>) -> Result<String, Failure> {
    if flags.switch("interactive")? {
        let text = "asking for a password on a terminal is not available yet: \
                    use --interactive=false and standard input";
        return Err(Failure::arguments(text));
    }
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.map_err(|error| Failure::arguments(format!("failed to ask password: {error}")))?;
    Ok(line
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned())
}
