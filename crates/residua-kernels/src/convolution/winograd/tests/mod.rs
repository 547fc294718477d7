mod benchmark;
mod reference;
mod units;
