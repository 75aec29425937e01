"""Everything a game theorist opens: tables, figures, exports."""
