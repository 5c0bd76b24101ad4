"""What a bundle has for people and auditors: card, data sheet, ML-BOM and evidence map, made from what was measured."""
