//! Signing in.
//!
//! A token is asked for before the first call where credentials are configured,
//! kept for all calls, and asked for again when a member refuses it. A cluster
//! that does not ask for credentials is used without a token.

use tokio::sync::Mutex;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

use quoin_proto::etcdserverpb::AuthenticateRequest;
use quoin_proto::etcdserverpb::auth_client::AuthClient;

use crate::config::Credentials;
use crate::endpoint::Endpoint;
use crate::error::{Error, ServerErrorKind};
use crate::retry::Core;

/// Where tokens come from.
#[derive(Debug)]
pub(crate) struct TokenSource {
    credentials: Option<Credentials>,
    /// Held while signing in, so that concurrent calls sign in once.
    token: Mutex<Option<Token>>,
}

#[derive(Clone, Debug)]
enum Token {
    /// The cluster does not ask for one.
    NotNeeded,
    Value(MetadataValue<Ascii>),
}

impl TokenSource {
    pub(crate) fn new(credentials: Option<Credentials>) -> Self {
        Self {
            credentials,
            token: Mutex::new(None),
        }
    }

    /// Whether forgetting the token can help.
    pub(crate) fn can_renew(&self) -> bool {
        self.credentials.is_some()
    }

    /// The token was refused.
    pub(crate) async fn forget(&self) {
        *self.token.lock().await = None;
    }

    /// `message` as a request to `endpoint`, signed if credentials are known.
    pub(crate) async fn request<M>(
        &self,
        core: &Core,
        endpoint: &Endpoint,
        message: M,
    ) -> Result<Request<M>, Error> {
        let mut request = core.request(message);
        if let Some(token) = &core.config.token {
            let value = token
                .parse()
                .map_err(|_| Error::Malformed { what: NOT_ASCII })?;
            request.metadata_mut().insert("token", value);
            return Ok(request);
        }
        let Some(credentials) = &self.credentials else {
            return Ok(request);
        };
        let mut token = self.token.lock().await;
        let current = match &*token {
            Some(current) => current.clone(),
            None => token
                .insert(sign_in(core, endpoint, credentials).await?)
                .clone(),
        };
        if let Token::Value(value) = current {
            request.metadata_mut().insert("token", value);
        }
        Ok(request)
    }
}

async fn sign_in(
    core: &Core,
    endpoint: &Endpoint,
    credentials: &Credentials,
) -> Result<Token, Error> {
    let message = AuthenticateRequest {
        name: credentials.name.clone(),
        password: credentials.password.clone(),
    };
    let mut client = AuthClient::new(endpoint.channel.clone());
    match client.authenticate(core.request(message)).await {
        Ok(response) => {
            let value = response.into_inner().token.parse();
            value.map(Token::Value).map_err(|_| Error::Malformed {
                what: "token is not ASCII",
            })
        }
        Err(status) => {
            let error = Error::from_status(&endpoint.name, status);
            match error.server_kind() {
                Some(ServerErrorKind::AuthNotEnabled) => Ok(Token::NotNeeded),
                _ => Err(error),
            }
        }
    }
}

const NOT_ASCII: &str = "token is not ASCII";
