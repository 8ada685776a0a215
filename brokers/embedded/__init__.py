"""The private server of a user: started on demand, shared by their processes."""
