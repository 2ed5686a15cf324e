//! Plans that failed once, or that catch a fault which few others do. Each must hold for ever.

use std::{fs, path::Path};

use terminal_simulation::{life::live, plan::Plan};

#[test]
fn kept_plans_stay_fixed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kept");
    let mut kept = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read(&path).unwrap();
        let plan: Plan = serde_json::from_slice(&text).unwrap();
        let life = live(&plan);
        assert_eq!(life.violation, None, "{}", path.display());
        kept += 1;
    }
    assert!(kept > 0, "nothing is kept in {}", folder.display());
}
