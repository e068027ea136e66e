from laundry_service.migrate import run_env

run_env()
