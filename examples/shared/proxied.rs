//! The option of a server that stands behind proxies which speak the PROXY protocol, beside those of `shared`.

use crocus::Listen;
use crocus::proxy::Network;

use crate::shared::cli::Exit;

/// `--proxy-protocol NETWORKS`; without it clients connect themselves.
#[derive(Debug, Default)]
pub(crate) struct ProxyOptions(Option<Vec<Network>>);

impl ProxyOptions {
    /// Takes the option if it is this; for [`from_args_and`](crate::shared::cli::ServerOptions::from_args_and).
    pub(crate) fn take(&mut self, name: &str, args: &mut lexopt::Parser) -> Result<bool, Exit> {
        if name != "proxy-protocol" {
            return Ok(false);
        }
        let networks = lexopt::ValueExt::string(args.value()?)?;
        let networks: Result<Vec<_>, _> = networks.split(',').map(str::parse).collect();
        self.0 = Some(networks.map_err(|error| Exit::Usage(format!("--proxy-protocol: {error}")))?);
        Ok(true)
    }

    /// Has a header read from each connection that is accepted at a place, if it is asked for.
    pub(crate) fn behind(&self, place: Listen) -> Listen {
        match &self.0 {
            Some(networks) => place.proxy_protocol(networks.iter().copied()),
            None => place,
        }
    }
}
