//! Plots in SVG: bars, each with its value, on a scale that multiplies.

use std::fmt::Write as _;

const LINE: f64 = 26.0;
const TOP: f64 = 56.0;
const NAMES: f64 = 380.0;
const BARS: f64 = 380.0;
const VALUES: f64 = 120.0;

/// A bar of a plot.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) text: String,
    pub(crate) is_engine: bool,
}

/// Bars from the largest power of ten below all of them on.
pub(crate) fn bars(title: &str, subtitle: &str, marks: &[Mark]) -> String {
    let values = || marks.iter().map(|mark| mark.value).filter(|value| *value > 0.0);
    let least = values().fold(f64::INFINITY, f64::min).log10().floor();
    let most = values().fold(f64::NEG_INFINITY, f64::max).log10();
    let length = |value: f64| (value.log10() - least) / (most - least).max(0.5) * BARS;
    let (width, height) = (NAMES + BARS + VALUES, TOP + LINE * marks.len() as f64 + 12.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{}</text>\n\
         <text x=\"12\" y=\"41\" fill=\"#555555\">{}</text>\n",
        escaped(title),
        escaped(subtitle)
    );
    for (place, mark) in marks.iter().enumerate() {
        let top = TOP + LINE * place as f64;
        let colour = if mark.is_engine { "#1f6f54" } else { "#a9b4b0" };
        let bar = length(mark.value).max(1.0);
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{NAMES}\" y=\"{}\" width=\"{bar:.1}\" height=\"{}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            NAMES - 8.0,
            top + 15.0,
            escaped(&mark.name),
            top + 2.0,
            LINE - 8.0,
            NAMES + bar + 6.0,
            top + 15.0,
            escaped(&mark.text)
        );
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widths(svg: &str) -> Vec<f64> {
        let bars = svg.split("width=\"").skip(2);
        bars.filter_map(|rest| rest.split('"').next()?.parse().ok()).collect()
    }

    #[test]
    fn a_longer_bar_is_a_larger_value_and_text_is_escaped() {
        let mark = |name: &str, value| Mark {
            name: name.to_owned(),
            value,
            text: "<1>".to_owned(),
            is_engine: false,
        };
        let svg = bars("a & b", "c", &[mark("one", 1.0), mark("ten", 10.0), mark("many", 1000.0)]);
        let widths = widths(&svg);
        assert_eq!(widths, [1.0, 126.7, 380.0], "{svg}");
        assert!(svg.contains("a &amp; b") && svg.contains("&lt;1&gt;"), "{svg}");
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}
