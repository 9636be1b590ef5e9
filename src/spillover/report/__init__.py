"""What we show: one page that opens anywhere, a Markdown twin, the measurements as rows and a summary for programs."""
