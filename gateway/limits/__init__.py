"""Request windows and token budgets, in this process or shared through Redis."""
