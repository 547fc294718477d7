mod reference;
mod units;
