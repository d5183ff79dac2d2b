"""How Lampas works inside; users import nothing from here."""
