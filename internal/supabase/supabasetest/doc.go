// Package supabasetest is a Supabase project for tests and the demo: the gateway of the APIs with its keys, a stand-in for
// PostgREST that was held against a real one, a small one for Supabase Auth, and a real PostgreSQL with Supabase's roles. It
// can go wrong in the ways in which a hosted project does, see Fault.
//
// A test calls New; a program calls CreateRoles, Migrate and Start. Migrate ends with NOTIFY, which the project learns of
// a moment later; a test that cannot wait calls ReloadSchema.
package supabasetest
