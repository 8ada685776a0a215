-- standings: where the calls of some runs stand.
-- args: { run, ... }
-- returns: { { status ('?' where there is no call), 1: a worker has it }, ... } in the same order
-- needs: tickets blocks
local standings = {}
for at, id in ipairs(args) do
  local status, ticket = unpack(blocks.look(id, 's', 'e'))
  standings[at] = { status or '?', status == 'Q' and owner_of(ticket) and 1 or 0 }
end
return cmsgpack.pack(standings)
