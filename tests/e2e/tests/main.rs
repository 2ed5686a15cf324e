//! Command in, hardware run, verdict out: what a site sees of it, one module per topic.

mod cli;
mod crash;
mod damage;
mod link;
mod offline;
mod peers;
mod product_path;
mod random_kills;
mod restarts;
mod secrets;
mod send_logs;
mod storage;
mod support;
