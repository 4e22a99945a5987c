//! A measured figure next to its budget.

/// Prints a figure next to its budget; true if it is over.
pub(crate) fn print(what: &str, value: f64, budget: f64, unit: &str) -> bool {
    let over = value > budget;
    println!("{what:<44} {value:>10.1} {unit:<6} budget {budget:.1}{}", if over { "   OVER" } else { "" });
    over
}
