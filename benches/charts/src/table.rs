//! A table: Markdown for a file, or columns of letters for a terminal.

/// Headings and rows. Columns are made first, by [`words`](Self::words) and
/// [`numbers`](Self::numbers).
#[derive(Clone, Default, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Clone, Debug)]
struct Column {
    heading: String,
    /// Words begin at the left, numbers end at the right.
    is_number: bool,
}

impl Table {
    /// Adds columns of words.
    pub fn words(self, headings: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.add(headings, false)
    }

    /// Adds columns of numbers.
    pub fn numbers(self, headings: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.add(headings, true)
    }

    fn add<H: Into<String>>(
        mut self,
        headings: impl IntoIterator<Item = H>,
        is_number: bool,
    ) -> Self {
        let columns =
            headings.into_iter().map(|heading| Column { heading: heading.into(), is_number });
        self.columns.extend(columns);
        self
    }

    /// Adds a row, with a cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    fn headings(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.heading.clone()).collect()
    }

    /// The table in Markdown.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: String = cells.iter().map(|cell| format!(" {} |", escape(cell))).collect();
            format!("|{cells}\n")
        };
        let sides =
            self.columns.iter().map(|column| if column.is_number { "--:|" } else { ":--|" });
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}|{}\n{rows}", line(&self.headings()), sides.collect::<String>())
    }

    /// The table in columns of letters, with two spaces before each.
    pub fn text(&self) -> String {
        let headings = self.headings();
        let lines: Vec<_> = [&headings].into_iter().chain(&self.rows).collect();
        let mut text = String::new();
        for line in &lines {
            let mut row = String::new();
            for (index, column) in self.columns.iter().enumerate() {
                let cell = |line: &Vec<String>| line.get(index).cloned().unwrap_or_default();
                let width = lines.iter().map(|line| cell(line).chars().count()).max().unwrap_or(0);
                row += &match column.is_number {
                    true => format!("  {:>width$}", cell(line)),
                    false => format!("  {:<width$}", cell(line)),
                };
            }
            text += row.trim_end();
            text.push('\n');
        }
        text
    }
}

/// Text that may stand in Markdown: nothing in it ends a cell, or is taken for HTML.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' => escaped.push_str("\\|"),
            '<' => escaped.push_str("&lt;"),
            _ if character.is_control() => escaped.push(' '),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::default().words(["server"]).numbers(["cost"]).words(["why"]);
        table.row(["mio", "1.06", ""]);
        table.row(["redis-server", "12", "a|b <c>\n"]);
        table
    }

    #[test]
    fn markdown_has_a_line_for_each_row_and_nothing_in_a_cell_ends_it() {
        let expected = "| server | cost | why |\n|:--|--:|:--|\n| mio | 1.06 |  |\n\
                        | redis-server | 12 | a\\|b &lt;c>  |\n";
        assert_eq!(table().markdown(), expected);
    }

    #[test]
    fn columns_stand_below_each_other() {
        let expected =
            "  server        cost  why\n  mio           1.06\n  redis-server    12  a|b <c>\n";
        assert_eq!(table().text(), expected);
        assert_eq!(Table::default().text(), "\n");
    }
}
