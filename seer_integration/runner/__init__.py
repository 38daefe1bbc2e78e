"""Plans that run: stages of tasks as Lithops calls, what flows between them, and what is left when one fails."""
