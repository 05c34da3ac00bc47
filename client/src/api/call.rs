//! The shape shared by all unary calls.
//!
//! Generated clients differ only in type and method name, so one macro writes
//! the calls that need no more than a message and a decision about repeating.

/// Sends `$message` through `$client::$method` with the limits and the retries
/// of the configuration.
macro_rules! send {
    ($self:expr, $repeat:ident, $client:ident::$method:ident, $message:expr) => {{
        let core = &$self.core;
        let receive_max = core.config.receive_bytes_max;
        let send_max = core.config.send_bytes_max;
        core.unary(
            crate::retry::Repeat::$repeat,
            $message,
            move |channel, request| async move {
                let client = $client::new(channel)
                    .max_decoding_message_size(receive_max)
                    .max_encoding_message_size(send_max);
                let mut client = client;
                client.$method(request).await
            },
        )
    }};
}

/// Methods of `Client` that only pass a request on.
macro_rules! calls {
    (
        $client:ident:
        $(
            $(#[$doc:meta])+
            $repeat:ident $name:ident = $method:ident($request:ty) -> $reply:ty;
        )+
    ) => {
        impl crate::Client {
            $(
                $(#[$doc])+
                ///
                /// # Errors
                /// The member's refusal, or that none could be asked.
                pub async fn $name(&self, request: $request) -> Result<$reply, crate::Error> {
                    send!(self, $repeat, $client::$method, request).await
                }
            )+
        }
    };
}

pub(crate) use {calls, send};
