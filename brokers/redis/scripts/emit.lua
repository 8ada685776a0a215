-- emit: write events that programs report, each once: one whose id was written a moment ago is passed over, whether its
-- sender repeats it because a reply was lost, or somebody else reports the same.
-- args: { { id, packed list of one event }, ... }
-- returns: how many were written
-- needs: events
local written = 0
for _, one in ipairs(args) do
  local id, packed = unpack(one)
  if redis.call('SET', P .. 'emitted:' .. id, '1', 'NX', 'PX', 600000) then
    append_to_events(packed)
    written = written + 1
  end
end
return cmsgpack.pack(written)
