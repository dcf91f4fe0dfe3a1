//! A text of a page that is made of figures.

use crate::figures::Figures;
use crate::table::Table;

type Text = Box<dyn Fn(&Figures) -> Result<String, String>>;

pub(crate) struct Block {
    /// In its marker.
    pub(crate) name: &'static str,
    text: Text,
}

impl Block {
    pub(crate) fn new(
        name: &'static str,
        text: impl Fn(&Figures) -> Result<String, String> + 'static,
    ) -> Self {
        Self { name, text: Box::new(text) }
    }

    pub(crate) fn table(name: &'static str, table: Table) -> Self {
        Self::new(name, move |figures| table.markdown(figures))
    }

    /// # Errors
    ///
    /// Says which workload is missing.
    pub(crate) fn text(&self, figures: &Figures) -> Result<String, String> {
        (self.text)(figures)
    }
}
