//! A network of the kernel's own making: agent, router and cloud, each with a stack of its own.
//!
//! ```text
//!   namespace NAMEa              namespace NAMEr                  root namespace
//!   agent   net0 .10 ─────── .9 agent0   cloud0 .2 ─────────── .1 NAME   cloud
//! ```
//! Faults are made in the router, so that neither end can know of them. The addresses are of
//! 198.18.0.0/15, which is set aside for measuring networks, sixteen for each network. Nothing
//! outside the two namespaces is touched but one interface and one route that go away with them.

mod command;
mod fault;
mod sweep;

use std::{
    ffi::OsString,
    net::Ipv4Addr,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use command::{ip_batch, nft, run};
pub use fault::{Fault, QUEUE_TIME, Way};

/// Blocks of sixteen addresses in 198.18.0.0/15.
const BLOCKS: u32 = 8_192;
const BLOCK_SIZE: u32 = 16;
/// Blocks that one process may use, so that the next process begins elsewhere.
const BLOCKS_PER_PROCESS: u32 = 61;

/// Of the interfaces inside the namespaces.
const TO_AGENT: &str = "agent0";
const TO_CLOUD: &str = "cloud0";
const OF_AGENT: &str = "net0";

/// Counts first packets of connections by their source port, and has a place for faults.
const RULES: &str = "\
table ip net {
    set attempts { type inet_service; size 65535; flags dynamic; }
    chain count {
        type filter hook prerouting priority -10
        iifname \"agent0\" tcp flags & (syn|ack) == syn add @attempts { tcp sport }
    }
    chain fault {
        type filter hook forward priority 0
    }
}
";

/// Two namespaces and what connects them. Gone when dropped.
pub struct Network {
    name: String,
    block: u32,
}

/// Why this machine cannot have such networks; asked once, by making one with every fault.
pub fn unavailable() -> Option<&'static str> {
    static ASKED: OnceLock<Option<String>> = OnceLock::new();
    ASKED.get_or_init(|| probe().err().map(|error| format!("{error:#}"))).as_deref()
}

fn probe() -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "network namespaces need root");
    for (program, argument) in [("ip", "-V"), ("tc", "-V"), ("nft", "--version")] {
        run(program, &[argument], None)?;
    }
    sweep::leftovers()?;
    let network = Network::create()?;
    for fault in fault::ALL {
        network.fault(fault).with_context(|| format!("{fault:?}"))?;
    }
    network.mend()
}

impl Network {
    /// Makes one; the cloud's end has its address already.
    pub fn create() -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let pid = std::process::id();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let first = pid.wrapping_mul(BLOCKS_PER_PROCESS).wrapping_add(number);
        let candidates = (0..BLOCKS).map(|step| (first.wrapping_add(step)) % BLOCKS);
        let taken = run("ip", &["-4", "-o", "addr", "show"], None)?;
        let free = |block: &u32| !taken.contains(&format!(" {}/", address(*block, 1)));
        let block = candidates.into_iter().find(free).context("no free block of addresses")?;
        // Made before the rest, so that what exists goes away if the rest fails.
        let network = Self { name: format!("tn{pid}x{number}"), block };
        network.build()?;
        Ok(network)
    }

    fn build(&self) -> Result<()> {
        let (agent, router, name) = (self.agent(), self.router(), &self.name);
        ip_batch(
            None,
            &format!(
                "netns add {agent}\n\
                 netns add {router}\n\
                 link add {name} type veth peer name {TO_CLOUD} netns {router}\n\
                 link add {OF_AGENT} netns {agent} type veth peer name {TO_AGENT} netns {router}\n\
                 addr add {}/29 dev {name}\n\
                 link set {name} up\n",
                self.cloud_address(),
            ),
        )?;
        ip_batch(
            Some(&router),
            &format!(
                "addr add {}/29 dev {TO_CLOUD}\n\
                 link set {TO_CLOUD} up\n\
                 addr add {}/29 dev {TO_AGENT}\n\
                 link set {TO_AGENT} up\n",
                self.address(2),
                self.address(9),
            ),
        )?;
        let set = format!("addr add {}/29 dev {OF_AGENT}\nlink set lo up\n", self.address(10));
        ip_batch(Some(&agent), &set)?;
        self.link_up()?;
        let back = format!("route add {}/29 via {}\n", self.address(8), self.address(2));
        ip_batch(None, &back)?;
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        run("ip", &["netns", "exec", &router, "sh", "-c", forward], None)?;
        nft(&router, RULES)
    }

    /// Where the cloud listens.
    pub fn cloud_address(&self) -> Ipv4Addr {
        self.address(1)
    }

    /// What starts a program in the agent's namespace.
    pub fn wrapper(&self) -> Vec<OsString> {
        ["ip", "netns", "exec", &self.agent()].map(OsString::from).into()
    }

    /// Connections that the agent has tried so far. A first packet that is sent again counts
    /// once; one that a fault swallows counts as well.
    pub fn attempts(&self) -> Result<usize> {
        Ok(self.ports()?.len())
    }

    /// Source ports of all connections that the agent has tried.
    fn ports(&self) -> Result<Vec<u64>> {
        let router = self.router();
        let arguments =
            ["netns", "exec", &router, "nft", "-j", "list", "set", "ip", "net", "attempts"];
        let answer: Value = serde_json::from_str(&run("ip", &arguments, None)?)?;
        let sets = answer["nftables"].as_array().context("not an answer of nft")?;
        let set = sets.iter().find_map(|entry| entry.get("set")).context("no set")?;
        Ok(set["elem"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect())
    }

    /// Takes the agent's interface down.
    pub fn link_down(&self) -> Result<()> {
        ip_batch(Some(&self.agent()), &format!("link set {OF_AGENT} down\n"))
    }

    /// Takes it up, with its route, as a DHCP client does.
    pub fn link_up(&self) -> Result<()> {
        let up = format!("link set {OF_AGENT} up\nroute add default via {}\n", self.address(9));
        ip_batch(Some(&self.agent()), &up)
    }

    /// Another address for the agent, as from another lease.
    pub fn readdress(&self) -> Result<()> {
        let change = format!(
            "addr flush dev {OF_AGENT}\n\
             addr add {}/29 dev {OF_AGENT}\n\
             route add default via {}\n",
            self.address(11),
            self.address(9),
        );
        ip_batch(Some(&self.agent()), &change)
    }

    fn address(&self, number: u32) -> Ipv4Addr {
        address(self.block, number)
    }

    fn agent(&self) -> String {
        format!("{}a", self.name)
    }

    fn router(&self) -> String {
        format!("{}r", self.name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Whatever of it exists; there is nobody to tell about the rest.
        let _ = run("ip", &["link", "del", &self.name], None);
        for namespace in [self.agent(), self.router()] {
            let _ = run("ip", &["netns", "del", &namespace], None);
        }
    }
}

fn address(block: u32, number: u32) -> Ipv4Addr {
    let first = u32::from(Ipv4Addr::new(198, 18, 0, 0));
    Ipv4Addr::from(first + block * BLOCK_SIZE + number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_lies_in_the_range_for_measuring_networks() {
        assert_eq!(address(0, 1), Ipv4Addr::new(198, 18, 0, 1));
        assert_eq!(address(BLOCKS - 1, 15), Ipv4Addr::new(198, 19, 255, 255));
    }
}
