//! auth

use quoin_client::proto::etcdserverpb::{
    AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthStatusRequest,
    AuthUserGrantRoleRequest,
};
use quoin_client::{Client, ServerErrorKind};

use crate::connect::{self, Patience};
use crate::failure::Failure;
use crate::flags::Flags;
use crate::output::Reply;

pub(super) async fn run(verb: &str, flags: Flags<'_>) -> Result<(), Failure> {
    if !flags.arguments().is_empty() {
        let text = format!("auth {verb} command does not accept any arguments");
        return Err(Failure::arguments(text));
    }
    let printer = connect::printer(flags)?;
    let client = connect::client(flags, Patience::Short)?;
    match verb {
        "enable" => {
            enable(&client).await?;
            crate::output::write(b"Authentication Enabled\n")
        }
        "disable" => {
            client.auth_disable(AuthDisableRequest {}).await?;
            crate::output::write(b"Authentication Disabled\n")
        }
        _ => printer.print(&Reply::AuthStatus(
            client.auth_status(AuthStatusRequest {}).await?,
        )),
    }
}

/// Gives the user root the role root where it is missing.
async fn enable(client: &Client) -> Result<(), Failure> {
    let Err(error) = client.auth_enable(AuthEnableRequest {}).await else {
        return Ok(());
    };
    if error.server_kind() != Some(ServerErrorKind::RootRoleMissing) {
        return Err(error.into());
    }
    let root = || "root".to_owned();
    client.role_add(AuthRoleAddRequest { name: root() }).await?;
    client
        .user_grant_role(AuthUserGrantRoleRequest {
            user: root(),
            role: root(),
        })
        .await?;
    client.auth_enable(AuthEnableRequest {}).await?;
    Ok(())
}
