"""Real faults with real processes: what is held of this library while others do their worst, and what is left of it afterwards."""
