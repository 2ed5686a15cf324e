//! What the router does to packets.

use std::time::Duration;

use anyhow::Result;

use super::{
    Network, TO_AGENT, TO_CLOUD,
    command::{nft, run},
};

/// A way that packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the agent.
    ToCloud,
    /// To the agent.
    ToAgent,
}

/// A fault of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing arrives, and nobody is told.
    BlackHole,
    /// The same, one way only.
    OneWay(Way),
    /// So many packets of a hundred do not arrive, either way, at random.
    Loss(u32),
    /// Packets of more bytes do not arrive, and nobody is told.
    LargerThan(u32),
    /// So many bits per second, either way.
    Slow(u32),
    /// The connections of now are dead; new ones work.
    ForgetFlows,
    /// The newest connection gets another source port, which the cloud resets.
    Rebind,
    /// Connections are refused.
    Refuse,
}

/// One of each kind, to find out what the kernel can do.
pub(super) const ALL: [Fault; 8] = [
    Fault::BlackHole,
    Fault::OneWay(Way::ToCloud),
    Fault::Loss(30),
    Fault::LargerThan(600),
    Fault::Slow(9_600),
    Fault::ForgetFlows,
    Fault::Rebind,
    Fault::Refuse,
];

/// Longest that a packet waits in a slow queue; where that is full it is dropped.
pub const QUEUE_TIME: Duration = Duration::from_secs(5);
/// Bytes that a slow queue lets pass at once: a whole packet must fit.
const BURST: &str = "1600";

impl Network {
    /// Makes a fault, instead of the one before.
    pub fn fault(&self, fault: Fault) -> Result<()> {
        self.mend()?;
        if let Fault::Slow(bits) = fault {
            let (rate, wait) = (format!("{bits}bit"), format!("{}s", QUEUE_TIME.as_secs()));
            return self.queues(&["tbf", "rate", &rate, "burst", BURST, "latency", &wait]);
        }
        let rules = self.rules(fault)?;
        let added: String =
            rules.iter().map(|rule| format!("add rule ip net fault {rule}\n")).collect();
        nft(&self.router(), &added)
    }

    /// Ends every fault.
    pub fn mend(&self) -> Result<()> {
        // A queue that is not there cannot be deleted, one without limits can always be put.
        self.queues(&["pfifo"])?;
        nft(&self.router(), "flush chain ip net fault\n")
    }

    fn queues(&self, queue: &[&str]) -> Result<()> {
        let router = self.router();
        for device in [TO_AGENT, TO_CLOUD] {
            let inside =
                ["netns", "exec", &router, "tc", "qdisc", "replace", "dev", device, "root"];
            run("ip", &[&inside[..], queue].concat(), None)?;
        }
        Ok(())
    }

    fn rules(&self, fault: Fault) -> Result<Vec<String>> {
        Ok(match fault {
            Fault::BlackHole => vec!["drop".to_owned()],
            Fault::OneWay(Way::ToCloud) => vec![format!("iifname \"{TO_AGENT}\" drop")],
            Fault::OneWay(Way::ToAgent) => vec![format!("iifname \"{TO_CLOUD}\" drop")],
            Fault::Loss(percent) => vec![format!("numgen random mod 100 < {percent} drop")],
            Fault::LargerThan(bytes) => vec![format!("ip length > {bytes} drop")],
            Fault::Refuse => vec!["ip protocol tcp reject with tcp reset".to_owned()],
            Fault::ForgetFlows => {
                let ports = self.ports()?.iter().map(u64::to_string).collect::<Vec<_>>();
                let ports = if ports.is_empty() { "0".to_owned() } else { ports.join(", ") };
                ["sport", "dport"].map(|end| format!("tcp {end} {{ {ports} }} drop")).into()
            }
            Fault::Rebind => {
                let port = self.ports()?.last().copied().unwrap_or(1);
                let other = 1_000 + port % 1_000;
                vec![
                    format!("iifname \"{TO_CLOUD}\" tcp dport {port} drop"),
                    format!("iifname \"{TO_AGENT}\" tcp sport {port} tcp sport set {other}"),
                    format!("iifname \"{TO_CLOUD}\" tcp dport {other} tcp dport set {port}"),
                ]
            }
            // A matter of queues.
            Fault::Slow(_) => Vec::new(),
        })
    }
}
