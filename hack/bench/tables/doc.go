// Package tables is a Supabase project for benchmarks: the operator's four tables in memory, behind as much of PostgREST as
// internal/supabase uses. It is fast, so that what is measured is the operator. What it does not know it refuses, and says so
// in Problems. Its tests hold it to PostgreSQL behind internal/supabase/supabasetest.
//
// Unlike a real project it lets everybody in, and it forgets.
package tables
