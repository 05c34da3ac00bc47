//! Users, roles and permissions.

use quoin_proto::etcdserverpb as pb;
use quoin_proto::etcdserverpb::auth_client::AuthClient;

use super::call::{calls, send};

calls! { AuthClient:
    /// Starts asking callers who they are.
    IfNotExecuted auth_enable = auth_enable(pb::AuthEnableRequest) -> pb::AuthEnableResponse;
    /// Stops asking callers who they are.
    IfNotExecuted auth_disable = auth_disable(pb::AuthDisableRequest) -> pb::AuthDisableResponse;
    /// Whether callers are asked.
    Always auth_status = auth_status(pb::AuthStatusRequest) -> pb::AuthStatusResponse;
    /// Adds a user.
    IfNotExecuted user_add = user_add(pb::AuthUserAddRequest) -> pb::AuthUserAddResponse;
    /// Roles of a user.
    Always user_get = user_get(pb::AuthUserGetRequest) -> pb::AuthUserGetResponse;
    /// Lists the users.
    Always user_list = user_list(pb::AuthUserListRequest) -> pb::AuthUserListResponse;
    /// Deletes a user.
    IfNotExecuted user_delete = user_delete(pb::AuthUserDeleteRequest)
            -> pb::AuthUserDeleteResponse;
    /// Sets a user's password.
    IfNotExecuted user_change_password =
        user_change_password(pb::AuthUserChangePasswordRequest)
            -> pb::AuthUserChangePasswordResponse;
    /// Gives a role to a user.
    IfNotExecuted user_grant_role =
        user_grant_role(pb::AuthUserGrantRoleRequest) -> pb::AuthUserGrantRoleResponse;
    /// Takes a role from a user.
    IfNotExecuted user_revoke_role =
        user_revoke_role(pb::AuthUserRevokeRoleRequest) -> pb::AuthUserRevokeRoleResponse;
    /// Adds a role.
    IfNotExecuted role_add = role_add(pb::AuthRoleAddRequest) -> pb::AuthRoleAddResponse;
    /// Permissions of a role.
    Always role_get = role_get(pb::AuthRoleGetRequest) -> pb::AuthRoleGetResponse;
    /// Lists the roles.
    Always role_list = role_list(pb::AuthRoleListRequest) -> pb::AuthRoleListResponse;
    /// Deletes a role.
    IfNotExecuted role_delete = role_delete(pb::AuthRoleDeleteRequest)
            -> pb::AuthRoleDeleteResponse;
    /// Gives a permission to a role.
    IfNotExecuted role_grant_permission =
        role_grant_permission(pb::AuthRoleGrantPermissionRequest)
            -> pb::AuthRoleGrantPermissionResponse;
    /// Takes a permission from a role.
    IfNotExecuted role_revoke_permission =
        role_revoke_permission(pb::AuthRoleRevokePermissionRequest)
            -> pb::AuthRoleRevokePermissionResponse;
}
