// Package supabase talks to Sound Check's database through Supabase's REST API, which is PostgREST behind a gateway.
//
// It stands on postgrest-go v0.0.12 and keeps that library's traps out of the rest of the program: at most one filter a
// column, no filter built from anything but UUIDs and times, bodies marshalled beforehand, credentials set for each request,
// the host pinned, answers bounded and read to the end, and every answer that is not a success turned into an *Error with
// its status and SQLSTATE. Nothing here retries: whoever calls knows how long a call may wait.
package supabase
