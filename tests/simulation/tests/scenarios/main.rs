//! One story for each numbered rule of PROTOCOL.md §8, told step by step. Every one of them is also
//! under all the checks of a random life, to its quiet end.

mod hand_over;
mod link_and_time;
mod local;
mod recovery;
mod running;
mod support;
