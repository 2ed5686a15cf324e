//! The temperature of the hottest zone.

use super::root::Root;

/// What a sensor that works can say, in degrees Celsius.
const PLAUSIBLE: std::ops::RangeInclusive<i16> = -60..=150;

pub(super) fn read(root: &Root) -> Option<i16> {
    const FOLDER: &str = "sys/class/thermal";
    let names = root.entries(FOLDER);
    let zones = names.iter().filter(|name| name.starts_with("thermal_zone"));
    let degrees = zones.filter_map(|name| {
        let thousandths: i32 = root.number(&format!("{FOLDER}/{name}/temp"))?;
        i16::try_from(thousandths / 1_000).ok()
    });
    degrees.filter(|degrees| PLAUSIBLE.contains(degrees)).max()
}
