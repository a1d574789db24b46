//! What one peer, and all of them, can have open at once.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Who counts as one peer: an IPv4 address, or the /64 network of an IPv6 address, whose owner has all of it.
pub fn sender_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Places that peers take, with a limit for one and for all.
#[derive(Debug)]
pub struct Places {
    all_max: usize,
    per_address_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why a place is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// This address has as many as it may.
    Address,
    /// All are taken.
    Full,
}

/// A place, until it drops.
#[derive(Debug)]
pub struct Place {
    from: IpAddr,
    places: Arc<Places>,
}

impl Places {
    /// So many places in all, and for [one address](sender_network).
    pub fn new(all_max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self { all_max, per_address_max, taken: Mutex::default() })
    }

    /// Takes a place. Costs a lock.
    pub fn take(self: &Arc<Self>, from: IpAddr) -> Result<Place, NoPlace> {
        let (from, mut taken) = (sender_network(from), self.lock());
        let of_address = taken.by_address.get(&from).copied().unwrap_or_default();
        if of_address >= self.per_address_max {
            return Err(NoPlace::Address);
        }
        if taken.all >= self.all_max {
            return Err(NoPlace::Full);
        }
        taken.all += 1;
        taken.by_address.insert(from, of_address + 1);
        Ok(Place { from, places: Arc::clone(self) })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        match taken.by_address.get_mut(&self.from) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.by_address.remove(&self.from)),
        }
    }
}

#[cfg(test)]
mod tests;
