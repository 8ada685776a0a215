#!lua flags=allow-oom
-- flow_beat: these flow runs go on.
-- args: { {flow run, ...}, lease ms, ttl ms }
-- returns: { {those of them that are not known to go on}, {those of any process with no beat within the lease} }
-- needs: flow_records
local flow_runs, lease, ttl = unpack(args)
local forgotten = {}
for _, id in ipairs(flow_runs) do
  if score('flows', id) and keep_flow(P .. 'f:' .. id, ttl) == 1 then
    put('flows', now, id)
  else
    forgotten[#forgotten + 1] = id
  end
end
return cmsgpack.pack({ forgotten, range('flows', '-inf', now - lease, 'LIMIT', 0, 100) })
