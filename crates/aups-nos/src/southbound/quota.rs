//! How much senders may send: items and bytes are paid for from the sender's quota, from that of its address, and from the
//! total.

use super::Southbound;
use crate::{
    accept::Sender,
    problem::Refusal,
    rate::{Account, Accounts, Allowance},
};
use aups_core::{NodeId, Problem};
use aups_net::sender_network;
use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What everybody has left.
#[derive(Debug)]
pub(crate) struct Meters {
    sources: Accounts<NodeId>,
    /// Of unregistered sources.
    unregistered: Accounts<IpAddr>,
    /// Of all sources of an address.
    addresses: Accounts<IpAddr>,
    total: Mutex<Account>,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            sources: Accounts::default(),
            unregistered: Accounts::default(),
            addresses: Accounts::default(),
            total: Mutex::new(Account::full(Instant::now())),
        }
    }
}

/// Which quotas hold for a request, found once: what has none costs nothing.
#[derive(Debug)]
pub(super) struct Charges {
    own: Own,
    address: Option<(IpAddr, Allowance)>,
    total: Option<Allowance>,
}

#[derive(Debug)]
enum Own {
    Free,
    Source(NodeId, Allowance),
    Address(IpAddr, Allowance),
}

impl Southbound {
    /// The quotas that hold now for what a sender sends from an address.
    pub(super) fn charges(&self, sender: &Sender, from: IpAddr) -> Charges {
        let config = self.acceptance.config();
        let quotas = &config.config.quotas;
        let own = match sender {
            Sender::Unregistered(address) => {
                quotas.unregistered.map_or(Own::Free, |allowance| Own::Address(sender_network(*address), allowance))
            }
            Sender::Registered { source, .. } => {
                quotas.of(source).map_or(Own::Free, |allowance| Own::Source(source.node_id.clone(), allowance))
            }
        };
        Charges {
            own,
            address: quotas.addresses.map(|allowance| (sender_network(from), allowance)),
            total: quotas.total,
        }
    }

    /// Takes items before anything is done for them, and none if one of the quotas is used up.
    pub(super) fn charge(&self, charges: &Charges, items: u32) -> Result<(), Refusal> {
        if charges.are_none() {
            return Ok(());
        }
        let now = Instant::now();
        // The sender's own comes first: what it may not send takes nothing from others.
        match &charges.own {
            Own::Free => Ok(()),
            Own::Source(node, allowance) => self.meters.sources.take(node, allowance, items, now),
            Own::Address(address, allowance) => self.meters.unregistered.take(address, allowance, items, now),
        }
        .map_err(over_quota)?;
        if let Some((address, allowance)) = &charges.address {
            self.meters.addresses.take(address, allowance, items, now).map_err(over_address_quota)?;
        }
        if let Some(allowance) = &charges.total {
            self.meters.total().take(allowance, items, now).map_err(over_total)?;
        }
        Ok(())
    }

    /// Takes what came beyond the items that were paid for.
    pub(super) fn owe(&self, charges: &Charges, items: usize, bytes: usize) {
        if charges.are_none() || (items == 0 && bytes == 0) {
            return;
        }
        let now = Instant::now();
        let items = u32::try_from(items).unwrap_or(u32::MAX);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        match &charges.own {
            Own::Free => {}
            Own::Source(node, allowance) => self.meters.sources.owe(node, allowance, items, bytes, now),
            Own::Address(address, allowance) => self.meters.unregistered.owe(address, allowance, items, bytes, now),
        }
        if let Some((address, allowance)) = &charges.address {
            self.meters.addresses.owe(address, allowance, items, bytes, now);
        }
        if let Some(allowance) = &charges.total {
            self.meters.total().owe(allowance, items, bytes, now);
        }
    }
}

impl Meters {
    fn total(&self) -> std::sync::MutexGuard<'_, Account> {
        self.total.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Charges {
    fn are_none(&self) -> bool {
        matches!(self.own, Own::Free) && self.address.is_none() && self.total.is_none()
    }
}

fn over_quota(after: Duration) -> Refusal {
    let detail = "more than this sender may send; come back after as many seconds as Retry-After says, or register";
    Refusal::later(Problem::new(429, "quota", "over the quota", detail), after)
}

fn over_address_quota(after: Duration) -> Refusal {
    let detail =
        "more than all senders of this address may send together; come back after as many seconds as Retry-After says";
    Refusal::later(Problem::new(429, "quota-address", "over the quota of the address", detail), after)
}

fn over_total(after: Duration) -> Refusal {
    let detail = "more than this NOS takes in all; come back after as many seconds as Retry-After says";
    Refusal::later(Problem::new(429, "quota-total", "over the total quota", detail), after)
}
