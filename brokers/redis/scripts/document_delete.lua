-- document_delete: forget definitions.
-- args: { kind, {id, ...}, who, generation that each of them must have or -1 }
-- returns: how many there were; -1: one has another generation, and nothing was deleted
-- needs: documents ends limit_watch
local kind, ids, who, expected = unpack(args)
expected = tonumber(expected or -1)
if expected >= 0 then
  for _, id in ipairs(ids) do
    if number(look(document(kind, id), 'g')[1], 0) ~= expected then return cmsgpack.pack(-1) end
  end
end
local deleted = 0
for _, id in ipairs(ids) do
  local definition = document(kind, id)
  local name = look(definition, 'n')[1]
  if name then forget_name(kind, name, id) end
  drop('docs:' .. kind, id)
  if kind == 'deployment' then drop('ready', id) end
  if kind == 'pool' then redis.pcall('HDEL', P .. 'announced', 'p ' .. id) end
  if redis.call('DEL', definition) == 1 then
    deleted = deleted + 1
    note_in_audit(who, 'deleted', kind, id)
    definition_happened('deleted', kind, id, name)
    if kind == 'limit' then limit_changed(id) end
  end
end
close_script()
return cmsgpack.pack(deleted)
