"""Controls of the dock *Image series*. They know no series that is open."""
