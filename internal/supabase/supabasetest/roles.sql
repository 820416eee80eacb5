-- The roles of a Supabase project, as far as PostgREST meets them. Roles belong to the server, not to a database: this
-- may be run once a database.
do $$
declare
  name text;
begin
  -- Two databases may be prepared at the same time. An advisory lock would not do: it belongs to one database, while
  -- roles, and this table of them, belong to all.
  lock table pg_catalog.pg_authid in share row exclusive mode;
  foreach name in array array['anon', 'authenticated', 'service_role', 'authenticator'] loop
    if not exists (select from pg_roles where rolname = name) then
      execute format('create role %I noinherit', name);
    end if;
  end loop;
  alter role service_role bypassrls;
  alter role authenticator login;
  grant anon, authenticated, service_role to authenticator;
  alter role anon set statement_timeout = '3s';
  alter role authenticated set statement_timeout = '8s';
  alter role authenticator set statement_timeout = '8s';
  alter role authenticator set lock_timeout = '8s';
end
$$;
