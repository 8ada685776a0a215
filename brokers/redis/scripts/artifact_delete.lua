#!lua flags=allow-oom
-- artifact_delete: forget artifacts, and every version of keys.
-- args: { {id, ...}, {key, ...} }
-- returns: how many there were
-- needs: artifacts events
local ids, keys = unpack(args)
local deleted = 0
local function forget(all, key)
  for _, id in ipairs(all) do
    local name = key or look(artifact(id), 'k')[1]
    if forget_artifact(id, key) then
      deleted = deleted + 1
      happen('artifact.deleted', thing('artifact', id, name))
    end
  end
end
forget(ids)
for _, key in ipairs(keys) do forget(places('artkey:' .. key, 0, -1), key) end
write_events()
return cmsgpack.pack(deleted)
