//! Command in, hardware run, verdict out: what a site sees of it, one module per topic.

mod certificates;
mod cli;
mod clocks;
mod crash;
mod damage;
mod disks;
mod fake_clock;
mod hostile;
mod hostile_flood;
mod hostile_peer;
mod hostile_terminal;
mod journal;
mod link;
mod offline;
mod peers;
mod product_path;
mod random_kills;
mod read_only;
mod restarts;
mod secrets;
mod send_logs;
mod starting;
mod stopped;
mod storage;
mod support;
