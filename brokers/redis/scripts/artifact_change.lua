-- artifact_change: write fields of artifacts that are there.
-- args: { { id, {field, value, ...} }, ... }
-- returns: { 1 for each that was there, 0 for others, ... }
-- needs: artifacts
local there = {}
for at, change in ipairs(args) do
  local id, fields = unpack(change)
  there[at] = look(artifact(id), 'at')[1] and 1 or 0
  if there[at] == 1 then
    if #fields > 0 then set_facts(artifact(id), unpack(fields)) end
    set_facts(artifact(id), 'up', string.format('%.0f', now))
  end
end
return cmsgpack.pack(there)
