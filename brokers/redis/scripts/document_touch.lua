#!lua flags=allow-oom
-- document_touch: set a field of definitions that are there to the time; that is no change by people. Of a deployment it
-- means that somebody serves it: watch.lua sees when nobody does any more.
-- args: { kind, {id, ...}, field }
-- returns: how many were there
-- needs: documents
local kind, ids, field = unpack(args)
local there = 0
for _, id in ipairs(ids) do
  local definition = document(kind, id)
  if look(definition, 'w')[1] then
    redis.call('HSET', definition, field, now)
    if kind == 'deployment' then
      if not score('ready', id) then definition_happened('ready', kind, id, look(definition, 'n')[1]) end
      put('ready', now, id)
    end
    there = there + 1
  end
end
write_events()
return cmsgpack.pack(there)
