use crate::{Attack, hold_off};

const ATTACKS: &[Attack] = &[];

#[test]
fn attacks_of_this_area_hold() {
    hold_off("repeats", ATTACKS);
}
