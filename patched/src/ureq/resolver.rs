//! Host names, looked up off the hub.

use ::ureq::Error;
use ::ureq::config::Config;
use ::ureq::http::Uri;
use ::ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ::ureq::unversioned::transport::NextTimeout;

/// Looks names up with [`evy_green_net::lookup_host`], within ureq's timeouts.
///
/// [`Agent`](super::Agent) has it already; it is public for those who build agents from parts.
///
/// ```
/// use evy_patched::ureq::{Agent, GreenConnector, GreenResolver};
///
/// let agent = Agent::with_parts(Default::default(), GreenConnector, GreenResolver);
/// assert!(agent.get("http://no-such-host.invalid/").call().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct GreenResolver;

impl Resolver for GreenResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let parts = uri.scheme().zip(uri.authority());
        let host = parts.and_then(|(scheme, host)| DefaultResolver::host_and_port(scheme, host));
        let host = host.ok_or_else(|| Error::BadUri(format!("{uri} has no host or no port")))?;
        // A timeout that will not happen is longer than any that the hub can count.
        let addresses = evy_runtime::timeout(*timeout.after, || evy_green_net::lookup_host(host))
            .map_err(|_elapsed| Error::Timeout(timeout.reason))??;

        let mut resolved = self.empty();
        for address in config.ip_family().keep_wanted(addresses) {
            if resolved.try_push(address).is_err() {
                break;
            }
        }
        if resolved.is_empty() { Err(Error::HostNotFound) } else { Ok(resolved) }
    }
}
