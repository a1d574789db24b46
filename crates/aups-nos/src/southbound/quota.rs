//! How much senders may send: items are paid for from the sender's quota.

use super::Southbound;
use crate::{accept::Sender, problem::Refusal, rate::sender_network};
use aups_core::Problem;
use std::{net::IpAddr, time::Duration};
use tokio::time::Instant;

impl Southbound {
    /// Registrations and items of unregistered sources are paid for by the address.
    pub(super) fn charge_address(&self, address: IpAddr, tokens: u32) -> Result<(), Refusal> {
        self.unregistered.take(sender_network(address), tokens, Instant::now()).map_err(over_quota)
    }

    /// Takes tokens of the sender's quota before anything is done for it.
    pub(super) fn charge(&self, sender: &Sender, tokens: u32) -> Result<(), Refusal> {
        match (sender, &self.registered) {
            (Sender::Unregistered(address), _) => self.charge_address(*address, tokens),
            (Sender::Registered { source, .. }, Some(quotas)) => {
                quotas.take(source.node_id.clone(), tokens, Instant::now()).map_err(over_quota)
            }
            (Sender::Registered { .. }, None) => Ok(()),
        }
    }

    /// Takes tokens for items beyond the one that was paid for.
    pub(super) fn owe(&self, sender: &Sender, items: usize) {
        let tokens = u32::try_from(items).unwrap_or(u32::MAX).saturating_sub(1);
        match (sender, &self.registered) {
            (Sender::Unregistered(address), _) => {
                self.unregistered.owe(sender_network(*address), tokens, Instant::now());
            }
            (Sender::Registered { source, .. }, Some(quotas)) => {
                quotas.owe(source.node_id.clone(), tokens, Instant::now());
            }
            (Sender::Registered { .. }, None) => {}
        }
    }
}

fn over_quota(after: Duration) -> Refusal {
    let detail = "more than this sender may send; come back after as many seconds as Retry-After says, or register";
    Refusal::later(Problem::new(429, "quota", "over the quota", detail), after)
}
