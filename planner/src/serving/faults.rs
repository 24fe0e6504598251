//! What goes wrong in a simulated fleet, and how far devices are from their profiles.

/// Something that happens to a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// When, µs from the start.
    pub at_us: u64,
    /// Which device, as a place in [`super::Fleet::devices`].
    pub device: u32,
    /// What.
    pub what: Trouble,
}

/// What can happen to a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// It dies with all that it was at.
    Dies,
    /// It stands still for so long, µs, and then goes on.
    Stalls(u64),
    /// It takes so many times as long from now on, > 0.
    Slows(f64),
    /// It is not there before so long, µs: its models are still being loaded.
    Starts(u64),
}

/// How devices differ from what was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Deviation {
    /// Standard deviation of each launch, as a part of its latency; a normal distribution, cut at three deviations and a tenth of the
    /// latency. 0 to 1.
    pub jitter: f64,
    /// The true latency of each stage is drawn evenly from the profile's ± this part. 0 to less than 1.
    pub profile: f64,
}
