package sqlite

// ApplicationID and Migrations are what files are made by.
const ApplicationID = applicationID

var Migrations = migrations

// GroupStats is the statement for filters that select groups.
const GroupStats = groupStats
