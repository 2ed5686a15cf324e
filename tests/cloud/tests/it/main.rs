//! The simulated cloud, seen from both of its ends.

#[cfg(test)]
mod bench;
#[cfg(test)]
#[cfg(test)]
mod contract;
#[cfg(test)]
mod curl;
#[cfg(test)]
mod curls;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod enrolment;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod link;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod program;
#[cfg(test)]
mod redelivery;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod seed_pages;
#[cfg(test)]
mod terminals;
#[cfg(test)]
mod vinr;
#[cfg(test)]
mod webhooks;
